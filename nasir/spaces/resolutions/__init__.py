"""What a space of modules at several resolutions is made of: settings, genotype, modules, supernet, drawing."""
