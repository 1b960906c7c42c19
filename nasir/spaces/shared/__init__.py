"""What spaces have in common, whatever they are made of: parts that networks share, logits and how they are read."""
