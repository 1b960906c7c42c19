"""Where the files of a data set come from, and that they are the right ones."""
