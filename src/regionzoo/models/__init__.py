"""Networks: batches of voxels in, losses or per-point class scores out."""
