"""Starts the page: `python app.py`, and on Spaces."""

import os

# OpenBLAS's threads would fight TensorFlow's for the same cores; its matrices here are small.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from demo.ui import launch

if __name__ == "__main__":
    launch()
