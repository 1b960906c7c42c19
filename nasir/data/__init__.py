"""The data path: images, keyed noise, sources, manifests, splits and patches."""
