// What goes between the server and the browser: types only. h, w, K are a layer's grid and channels, H and W the sides
// of the picture. Instead of what a function of the server's gives it may give a Refusal.

/**
 * @typedef {object} Refusal
 * @property {string} error a sentence
 */

/**
 * The value of the viewer: a new answer, or why there is none.
 * @typedef {object} View
 * @property {PictureFile | null} base the picture, as a file that the browser has already
 * @property {Answer | null} answer
 * @property {string} error a sentence, empty for none
 * @property {boolean} stands with an error: the answer before is still what the page asks for
 * @property {string} note what became of the question on the way
 * @property {string[] | null} link of a link: the keys of what is not to be had here; null: of no link
 */

/**
 * A file as Gradio hands it over; of its entries the one that is used here.
 * @typedef {object} PictureFile
 * @property {string} url
 */

/**
 * All that the viewer shows of a picture, a network and a class.
 * @typedef {object} Answer
 * @property {Row[]} layers from early to late
 * @property {string} bytes of all maps, in base64
 * @property {NetworkRow} model
 * @property {number[]} picture H, W
 * @property {string} path of the picture, for further questions
 * @property {string[]} remarks what was done to the picture that a browser would not, in sentences
 * @property {string} best name of the layer to begin with
 * @property {Record<string, number>} strength "layer/method" -> the strongest evidence for the likeliest class
 * @property {Record<string, number | null>} starts band -> what the score is without the best layer's map, if that
 *   map's cells add up to all the rest of it
 * @property {[string, number[], string, string][]} doctor of every layer with a grid: name, shape, kind, why it is poor
 * @property {string} found what was found out about the network, in words
 * @property {ClassRow[]} classes the likeliest ones, the target and the rival
 * @property {number} count of classes the network knows, C
 * @property {number} target index of the class that is explained
 * @property {number | null} rival index of the class it is held against, null for none
 * @property {boolean} predicted whether the target is the class the network says, not one that was chosen
 * @property {boolean} detail whether the network runs at twice its side
 * @property {number[] | null} twice in detail: of these classes p at twice the side
 * @property {Extra | null} extra what was asked for beside what every answer has
 * @property {boolean} fully_convolutional whether the network can run at twice its side
 */

/**
 * @typedef {object} Extra
 * @property {string} layer
 * @property {string} method one that asks many times; empty: only the layer
 */

/**
 * What the event `layer` asks for.
 * @typedef {object} Wanted
 * @property {string} name of the layer
 * @property {string} method one that asks many times
 * @property {string} token any word, by which it can be stopped
 */

/**
 * What a network's numbers may mean.
 * @typedef {object} MeaningRow
 * @property {'softmax' | 'sigmoid' | 'linear'} head
 * @property {string} words
 * @property {boolean} taken whether the program goes by it
 */

/**
 * @typedef {object} NetworkRow
 * @property {string} key
 * @property {string} title
 * @property {'softmax' | 'sigmoid' | 'linear'} head what its output means
 * @property {boolean} percent whether what is shown of a class is a probability
 * @property {string} score what is explained, in words
 * @property {boolean} crop whether it sees the middle of this picture only
 * @property {boolean} own somebody's own: how it wants its pixels had to be given or found
 * @property {boolean} brought by a visitor: the page saves it
 * @property {string[]} guesses what nobody gave and nothing decides, in sentences; empty: all is known
 * @property {MeaningRow[]} meanings where it is a guess what its numbers mean: what they may be
 * @property {number[]} input the sides of what it is given, h and w
 */

/**
 * A layer and its maps.
 * @typedef {object} Row
 * @property {string} name
 * @property {Record<string, SignedMap>} maps `${band}/${method}` -> map; band: target, rival, contrast
 * @property {number[]} shape h, w, K
 * @property {string} poor why not to look here, empty: good
 * @property {boolean} suggested
 * @property {string} tokens what attention does to its places, in sentences; empty: its cells are no tokens
 * @property {Record<string, string>} film band -> the method that shows this layer beside the others
 * @property {Record<string, string>} verdicts method -> what is known of it here, a key of props.verdicts
 */

/**
 * A map before its ReLU: a signed byte a cell. A byte b stands for b / 127 of `top` if positive, of `bottom` if not.
 * @typedef {object} SignedMap
 * @property {number[]} cells h, w as it was made
 * @property {number} at where in the bytes it begins
 * @property {number[]} sent h, w as sent, which may be fewer than the layer's: averages
 * @property {number} top the largest value that was sent, 0 if none is positive
 * @property {number} bottom minus the smallest value that was sent, 0 if none is negative
 * @property {number} min of all cells
 * @property {number} max of all cells
 * @property {Cut} cut
 * @property {number[] | null} placement where its cells lie in the picture, six numbers; null: over all of it
 */

/**
 * The share of places that the ReLU sets to zero, 0..1.
 * @typedef {object} Cut
 * @property {number} for where evidence for the class is shown
 * @property {number} against where evidence against it is shown
 */

/**
 * @typedef {object} Likely
 * @property {number} index
 * @property {string} label
 * @property {number} p its probability; of a "linear" head the output itself
 * @property {number} rank 1: the likeliest
 */

/**
 * What the network says with a part of its picture covered, for each of at most eight.
 * @typedef {object} CoverRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {number | null} rival
 * @property {boolean} detail
 * @property {string} layer
 * @property {number[][]} boxes left, top, right, bottom as shares of the picture
 * @property {string} fill what the part is painted with
 */

/**
 * @typedef {object} CoverAnswer
 * @property {Likely[][]} classes of each box: the likeliest, then those that are likeliest without
 * @property {number} score with the first box covered
 * @property {SignedMap} map the same, Grad-CAM at the layer
 * @property {string} bytes of the map, in base64
 */

/**
 * Of a frame of the live camera.
 * @typedef {object} LiveAnswer
 * @property {Likely[]} classes the first of them is explained
 * @property {SignedMap} map Grad-CAM at the network's best layer
 * @property {string} bytes of the map, in base64
 */

/**
 * A way to prepare the picture, and what the network then says.
 * @typedef {object} WayRow
 * @property {string} preprocess
 * @property {boolean} crop
 * @property {string} words
 * @property {string} label the likeliest class; empty: no numbers come out
 * @property {number} p
 * @property {boolean} used
 * @property {boolean} favoured
 */

/**
 * @typedef {object} DoctorAnswer
 * @property {WayRow[]} ways
 * @property {string[]} why what speaks for which, in sentences
 */

/**
 * @typedef {object} ClassRow
 * @property {number} index
 * @property {string} label
 * @property {number} p its probability; of a "linear" head the output itself
 * @property {number} y its score
 * @property {number} rank 1: the likeliest
 */

/**
 * A row of the table of methods, given with the page.
 * @typedef {object} MethodRow
 * @property {string} name
 * @property {string} line what it does
 * @property {string} cost in words
 * @property {string} paper address of the article
 * @property {string} against why it shows no evidence against a class, empty: it does
 * @property {boolean} class_agnostic whether its map is the same for every class
 * @property {boolean} fuses whether it makes a layer's map finer with those of others
 * @property {boolean} of_picture whether its map is the same at each layer
 * @property {boolean} asks whether it asks many times: its maps come only when somebody wants them
 */

/**
 * @typedef {object} FigureRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {number | null} rival null for none
 * @property {string} layer
 * @property {string} method
 * @property {'for' | 'against' | 'both'} sign
 * @property {string} colours
 * @property {number} opacity 0..1
 * @property {boolean} detail
 * @property {number} top what the end of the colours stands for where maps share a scale, else 0
 * @property {number[] | null} box left, top, right, bottom as shares of the picture
 */

/**
 * @typedef {object} FigureAnswer
 * @property {string} png in base64
 */

/**
 * A link to the page for others.
 * @typedef {object} CodeAnswer
 * @property {string} link
 * @property {string} picture its QR code, address of an image
 */

/**
 * What "How it is made" takes apart.
 * @typedef {object} LessonRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {boolean} detail
 * @property {string} layer
 */

/**
 * A row of the table of steps, given with the page.
 * @typedef {object} StepRow
 * @property {string} key
 * @property {string} title
 * @property {string} formula a picture, SVG
 * @property {string} aloud the formula in words
 * @property {string} code
 */

/**
 * All that the steps show before anything is played with.
 * @typedef {object} Lesson
 * @property {string} input the picture as the network gets it, address of an image
 * @property {string} after the same after preprocessing
 * @property {number[]} range smallest and largest number after preprocessing
 * @property {number} score
 * @property {number | null} start what the score is without the map, if its cells add up to all the rest
 * @property {string} layer
 * @property {number[]} shape h, w, K
 * @property {number[] | null} placement of its cells, as of a SignedMap
 * @property {Stage[]} stages from early to late
 * @property {Tile[]} tiles the channels that matter most, in the order of their terms
 * @property {number[]} alphas (K,)
 * @property {Station[]} build
 * @property {Term[]} switches
 * @property {StepMap} map the whole sum
 * @property {Whole} whole
 * @property {string} bytes of all maps, in base64
 */

/**
 * As a SignedMap, and as numbers where they are few.
 * @typedef {object} StepMap
 * @property {number} at
 * @property {number[]} sent
 * @property {number} top
 * @property {number} bottom
 * @property {number[] | null} numbers (h w,)
 */

/**
 * A channel.
 * @typedef {object} Tile
 * @property {number} k
 * @property {number} alpha
 * @property {number} strength the mean of A
 * @property {StepMap} a
 * @property {StepMap} g
 * @property {boolean} even whether the gradient is one number all over
 * @property {number} total the sum of the gradients
 * @property {number} cells
 * @property {number} mean
 */

/**
 * The sum after the first channels.
 * @typedef {object} Station
 * @property {number} count of channels
 * @property {number} share of all that is added up, 0..1
 * @property {number} correlation with the whole sum
 * @property {StepMap} map
 */

/**
 * A term of the switchboard.
 * @typedef {object} Term
 * @property {number} k
 * @property {number} alpha
 * @property {number} total the sum of its cells
 * @property {StepMap} map
 */

/**
 * The sum's numbers, of all cells.
 * @typedef {object} Whole
 * @property {number} cells
 * @property {number} below cells below zero
 * @property {number} above cells above zero
 * @property {number} min
 * @property {number} max
 * @property {number} more what the filters add that speak for the class
 * @property {number} less what those take away that speak against it, below zero
 * @property {number} sum
 */

/**
 * A layer on the way through the network.
 * @typedef {object} Stage
 * @property {string} name
 * @property {number[]} shape h, w, K
 * @property {number} k of its channels the one that is shown
 * @property {StepMap} map
 */

/**
 * What changes of one number do to the score.
 * @typedef {object} Nudge
 * @property {number[]} steps the changes
 * @property {number[]} predicted
 * @property {number[]} true
 * @property {number} a the number
 * @property {number} g its gradient
 * @property {number} by one, or a power of ten below the largest number
 * @property {number} up the true change, where it is larger by that much
 * @property {number} down and where it is smaller
 */

/**
 * The score with all channels, and without some.
 * @typedef {object} Without
 * @property {number} before
 * @property {number} after
 */

/**
 * The sum that made one cell of the map.
 * @typedef {object} CellSum
 * @property {CellTerm[]} terms the largest ones
 * @property {number} rest the sum of the others
 * @property {number} total
 * @property {number} others how many they are
 */

/**
 * @typedef {object} CellTerm
 * @property {number} k
 * @property {number} alpha
 * @property {number} a
 * @property {number} value
 */

/**
 * The map of the one class less that of the other.
 * @typedef {object} Contrast
 * @property {StepMap} map
 * @property {number} below cells below zero
 * @property {string} bytes of the map, in base64
 */

/**
 * A StepMap, and where it lies.
 * @typedef {object} PlacedMap
 * @property {number} at
 * @property {number[]} sent
 * @property {number} top
 * @property {number} bottom
 * @property {number[] | null} numbers (h w,)
 * @property {number[] | null} placement of its cells, as of a SignedMap
 */

/**
 * An earlier layer at which the mean over the places shows something else than without it.
 * @typedef {object} Earlier
 * @property {string} layer
 * @property {number[]} shape h, w, K
 * @property {PlacedMap} last Grad-CAM at the layer that was asked about
 * @property {PlacedMap} mean Grad-CAM at the earlier one
 * @property {PlacedMap} each LayerCAM there: every cell with its own gradient
 * @property {number} k a channel whose gradients cancel
 * @property {StepMap} g its gradients
 * @property {number} alpha their mean
 * @property {string} bytes of all maps, in base64
 */

/**
 * Addresses of images.
 * @typedef {object} Guided
 * @property {string} guided
 * @property {string} both
 */

/**
 * A map that is put to the test.
 * @typedef {object} TrustRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {boolean} detail
 * @property {string} layer
 * @property {string} method
 */

/**
 * @typedef {object} HideRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {boolean} detail
 * @property {string} layer
 * @property {string} method
 * @property {number} share of the cells, 0..1
 * @property {'hottest' | 'coldest'} order
 * @property {string} fill what the cells are painted with
 * @property {Region | null} region hidden instead of them
 */

/**
 * What the network says with some cells hidden.
 * @typedef {object} HideAnswer
 * @property {string} picture as the network sees it, address of an image
 * @property {number} ratio width / height of what it sees, in the picture itself
 * @property {Likely[]} classes the likeliest, then the target
 */

/**
 * A test that takes a while.
 * @typedef {object} LongRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {boolean} detail
 * @property {string} layer
 * @property {string} method
 * @property {string} token any word, by which it can be followed and stopped
 */

/**
 * How far a test is.
 * @typedef {object} Gone
 * @property {number} part 0..1
 */

/**
 * The score as more and more is hidden.
 * @typedef {object} RemovalCurves
 * @property {number[]} hottest the hottest cells first
 * @property {number[]} coldest
 */

/**
 * What one way of painting over said.
 * @typedef {object} FillRow
 * @property {string} fill
 * @property {string} words
 * @property {number[]} shares of the cells that are hidden
 * @property {RemovalCurves} map
 * @property {RemovalCurves} centre of the blob at the picture's centre
 * @property {number[] | null} low of all shuffled maps the lowest score; null: none was tried
 * @property {number[] | null} high
 */

/**
 * @typedef {object} VerdictAnswer
 * @property {string} sentence
 * @property {'better' | 'centre' | 'undecided'} ruling
 * @property {FillRow[]} fills
 * @property {number} whole the score with nothing hidden
 * @property {number} passes
 * @property {number} seconds
 */

/**
 * @typedef {object} MosaicRequest
 * @property {string} model
 * @property {string} layer
 * @property {string[]} paths of four pictures, as one reads
 * @property {string} token as of a LongRequest
 */

/**
 * @typedef {object} Quarter
 * @property {number} index what the network says of the picture alone
 * @property {string} label
 * @property {number} alone how likely then
 * @property {number} p how likely in the mosaic
 */

/**
 * A method, and how much of its positive heat lies in the quarter of each class.
 * @typedef {object} GameRow
 * @property {string} method
 * @property {number | null} share the mean of those that there are
 * @property {number | null[]} shares null: no positive heat at all
 * @property {StepMap[]} maps of each class
 */

/**
 * @typedef {object} MosaicAnswer
 * @property {string} picture as the network sees it, address of an image
 * @property {boolean} percent
 * @property {Quarter[]} quarters
 * @property {GameRow[]} rows
 * @property {string[]} warnings
 * @property {number[] | null} placement of the maps' cells
 * @property {string} bytes of the maps, in base64
 */

export {};

/**
 * What a visitor drew, in shares of the width and height of what the network sees.
 * @typedef {object} Region
 * @property {number[] | null} box left, top, right, bottom
 * @property {number[][]} spots left to right, top to bottom: the middles of the brush's spots
 */

/**
 * As a TrustRequest.
 * @typedef {object} AimRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {boolean} detail
 * @property {string} layer
 * @property {string} method
 * @property {Region} region round the object
 */

/**
 * How a heat map lies to the region.
 * @typedef {object} AimRow
 * @property {string} of the method, or the centre blob
 * @property {boolean} hit whether its hottest place lies inside
 * @property {number | null} share of its heat that lies inside; null: there is none
 * @property {number | null} overlap of its box and the region's: IoU; null: it has none
 */

/**
 * @typedef {object} AimAnswer
 * @property {AimRow[]} rows the map, then the blob at the picture's centre
 * @property {number} area of the picture, that the region covers
 * @property {string} sentence
 */

/**
 * The map as the network forgets, from its last layer down.
 * @typedef {object} ForgetAnswer
 * @property {string} sentence
 * @property {boolean | null} alarm null: the map has too few cells to tell
 * @property {string} learned the picture under the map of the network as it is, address of an image
 * @property {number[]} shares of the layers that have weights, how many have forgotten
 * @property {string[]} overlays the same with the map of each
 * @property {number[]} alike rank correlation of each map with the first
 * @property {number[] | null} guided the same for guided backpropagation; null: there is no ReLU
 * @property {number} passes
 */

/**
 * What one change of the picture did.
 * @typedef {object} HeldRow
 * @property {string} change in words
 * @property {number} before what the network says of the class; in detail, at twice its side
 * @property {number} after
 * @property {number} alike correlation of the two maps, put back in their places
 * @property {string} overlay the changed picture under its map, address of an image
 * @property {string} sentence
 */

/**
 * @typedef {object} HoldAnswer
 * @property {boolean} percent
 * @property {string} overlay of the picture as it is
 * @property {HeldRow[]} rows
 */

/**
 * @typedef {object} CheatRequest
 * @property {string} thing what is drawn
 * @property {number} number which of them
 * @property {number[] | null} tag row and column of its middle, shares of the sides; null: no tag
 */

/**
 * One network's answer to the picture.
 * @typedef {object} Suspect
 * @property {string} model
 * @property {string} title
 * @property {Likely[]} classes the likeliest two
 * @property {string} overlay the picture under its map for the likeliest, address of an image
 */

/**
 * @typedef {object} CheatAnswer
 * @property {string} picture
 * @property {Suspect[]} suspects
 */

/**
 * @typedef {object} Confession
 * @property {string} model
 * @property {string} title
 * @property {boolean} cheats
 * @property {string} sentence what was planted, with what was measured
 */

/**
 * As a TrustRequest.
 * @typedef {object} SideRequest
 * @property {string} path
 * @property {string} model
 * @property {number} target
 * @property {boolean} detail
 * @property {string} layer
 * @property {string} method that of a row, or what stands there for chance
 * @property {string} token any word, by which it can be followed and stopped
 * @property {string[]} paths of the mosaic's four pictures
 */

/**
 * @typedef {object} SideMap
 * @property {string} overlay the picture under the map, address of an image
 * @property {number[]} cells h, w of the map
 * @property {string[]} notes what its numbers are, in sentences
 * @property {Record<string, number>} like row -> rank correlation with the map of that one, if it is there
 */

/**
 * @typedef {object} SideRow
 * @property {string} of the method, or what stands for chance
 * @property {string} line what it does
 * @property {string} cost in words
 * @property {number} passes that its map takes, beside the one pass that answers many; 0: none
 * @property {boolean} tail in each of them only what comes after the layer is run
 * @property {boolean} chance whether it knows nothing, and is there to be beaten
 * @property {SideMap | null} map null: it takes its time, and nobody has asked for it yet
 * @property {'better' | 'centre' | 'undecided' | null} ruling null: not tested yet
 */

/**
 * @typedef {object} SideAnswer
 * @property {SideRow[]} rows
 * @property {Record<string, number | null>} shares as of SharesAnswer, of those that are known
 */

/**
 * What is known of the mosaic: how much heat lies in the right quarter.
 * @typedef {object} SharesAnswer
 * @property {Record<string, number | null>} shares row -> the mean of four classes; null: no heat at all
 */
