"""Captioners that look at pixels: pretrained models of transformers, loaded from safetensors files alone."""
