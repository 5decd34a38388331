"""Images -> feature vectors on points: what a network is distilled from."""
