"""A trained or released network on anybody's scans: labels, scores, features and heat maps of texts."""
