"""Reading and writing of files: images, masks, annotations, frames."""
