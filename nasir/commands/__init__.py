"""Commands of `nasir` that say something of networks, scores and data sets: one file for each."""
