"""The page of the study of search strategies."""
