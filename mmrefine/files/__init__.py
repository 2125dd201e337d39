"""The room that opens, names and writes files of the user's: images, masks, annotations, frames."""
