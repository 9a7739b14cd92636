"""The arithmetic of padded batches: tkv, pads, blocks, chunks, shapes. Pure numbers, no requests.

`tkv` is the length of the KV cache that a padded batch is computed with. Sources: the device's
rules and the schedulers of vllm-spyre 0.7 to 1.10 and sendnn-inference 2.x, named at each formula.
"""
