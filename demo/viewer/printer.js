// The handout, printed from the browser; and the teacher's notes in a window of their own, in step with the lesson.

import { make } from './dom.js';
import { handoutOf, noteRows } from './paper.js';
import { table } from './sheets.js';

/** @import { Facts } from './facts.js' */

// Gradio would put its own container before each rule that stands in its style sheets inside of @media.
const STYLE = `
  .handout { display: none; }
  @page { size: A4; margin: 12mm 14mm; }
  @media print {
    body > :not(.handout) { display: none !important; }
    .handout { display: block; color: #000; background: #fff; font: 14px/1.5 var(--sans); font-stretch: condensed; }
    .handout header { display: flex; justify-content: space-between; align-items: end; border-bottom: 2px solid #000;
      margin-bottom: 8px; }
    .handout header > * { white-space: nowrap; }
    .handout h1 { font-size: 22px; margin: 0; color: #000; }
    .handout h2 { font-size: 15.5px; margin: 0 0 2px; color: #000; font-weight: 700; }
    .handout b { display: inline-grid; place-items: center; width: 20px; height: 20px; margin-right: 6px;
      border-radius: 50%; border: 1.5px solid #000; font-size: 11px; color: #000; }
    .handout p { margin: 0; }
    .handout > div { columns: 2; column-gap: 26px; }
    .handout article { break-inside: avoid; padding-bottom: 9px; }
    .handout img { display: block; width: 100%; height: 150px; object-fit: contain; object-position: left; margin: 0;
      filter: grayscale(1) brightness(1.25); opacity: 0.85; }
    .handout u { display: inline-block; width: 46px; border-bottom: 1.2px solid #000; text-decoration: none; }
    .handout u.long { width: 112px; }
    .handout .numbers { display: grid; border: 1px solid #000; margin: 2px 0; }
    .handout .numbers span { border: 0.5px solid #999; text-align: center; font-size: 12.5px; line-height: 1.5; }
  }`;

/** A line with its blanks. */
function lineOf(text) {
  const line = make('p', null);
  line.append(...text.split(/(_{5}|_{3})/).map((part) => {
    return part[0] === '_' ? make('u', '', { class: part.length > 3 ? 'long' : '' }) : part;
  }));
  return line;
}

/** @param {string[][]} grid */
function numbered(grid) {
  const holder = make('div', null, { class: 'numbers' });
  holder.style.gridTemplateColumns = `repeat(${grid[0].length}, 1fr)`;
  holder.append(...grid.flat().map((said) => make('span', said)));
  return holder;
}

/** @param {Facts} facts @param {string} base address of the picture */
function paperOf(facts, base) {
  const paper = make('section', null, { class: 'handout' }), top = make('header', null), body = make('div', null);
  const photo = make('img', null, { alt: '' });
  photo.src = base;
  top.append(make('h1', 'What did the network look at?'), lineOf('Name _____ Class ___ Date ___'));
  const before = make('article', null);
  before.append(photo, lineOf('Circle where you think the network looks. Never rub out a guess.'));
  body.append(before, ...handoutOf(facts).map(({ n, title, lines, grid }) => {
    const part = make('article', null), head = make('h2', title);
    head.prepend(make('b', `${n}`));
    part.append(head, ...(grid ? [numbered(grid)] : []), ...lines.map(lineOf));
    return part;
  }));
  paper.append(make('style', STYLE), top, body,
    lineOf('My own test. Picture: _____ It said: _____ It looked at: _____'),
    lineOf('Is it right, and for a good reason? How do I know? _____ _____ _____'));
  return paper;
}

/** Prints the handout: one page, with the visitor's own numbers. @param {Facts} facts */
export function printHandout(facts, base) {
  document.querySelector('body > .handout')?.remove();
  document.body.append(paperOf(facts, base));
  addEventListener('afterprint', () => document.querySelector('body > .handout')?.remove(), { once: true });
  print();
}

const NOTED = `
  body { font: 18px/1.35 system-ui, sans-serif; margin: 24px; }
  th, td { text-align: left; padding: 6px 14px 6px 0; vertical-align: top; }
  td:first-child { white-space: nowrap; }
  @media (max-width: 640px) {
    body { margin: 14px; }
    tr, td { display: block; }
    tr { padding: 8px; border-bottom: 1px solid #999; }
    th { display: none; }
    td { padding: 2px 0; }
    td:first-child { font-weight: 700; }
    td:nth-child(2)::after { content: ' minutes'; }
    td:nth-child(3)::before { content: 'They often think: '; }
    td:nth-child(4)::before { content: 'Say: '; }
    td:nth-child(5)::before { content: 'With this picture: '; }
  }`;

let beside = null; // the window of the notes

/** Opens the notes, or shows them; they follow the lesson. @param {string[]} answers a step each */
export function openNotes(step, answers) {
  beside = open('', 'lesson-notes', 'width=900,height=700');
  if (!beside) return;
  const { document: page } = beside;
  const heads = ['Step', 'Minutes', 'They often think', 'Say', 'With this picture'];
  const rows = table([heads, ...noteRows().map((row) => [...row, ''])], -1);
  const phone = make('meta', null, { name: 'viewport', content: 'width=device-width' });
  page.head.replaceChildren(phone, make('title', 'Teacher’s notes'), make('style', NOTED));
  page.body.replaceChildren(make('h1', 'Teacher’s notes'), rows);
  followNotes(step, answers);
}

export function followNotes(step, answers) {
  if (!beside || beside.closed) return;
  [...beside.document.querySelectorAll('tr')].forEach((row, n) => {
    row.style.background = n === step + 1 ? '#fff1c2' : '';
    if (n === step + 1) row.scrollIntoView({ block: 'nearest' });
    if (n) row.lastChild.textContent = answers[n - 1];
  });
}
