"""Parts of the reduced experiment of SAM2Refiner; ``run.py`` beside this folder puts them together."""
