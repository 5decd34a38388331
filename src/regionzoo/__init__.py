"""regionzoo: rebuild every row of the RegionPLC model zoo with one command per row."""

__version__ = "0.1.0"
