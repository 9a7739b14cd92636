"""One file per family; `registry.py` lists them."""
