"""``python -m regionzoo``."""

from regionzoo.cli import main

if __name__ == "__main__":
    main()
