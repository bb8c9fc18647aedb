"""Models, one file each: plain `nn.Module`s, with a `stacked_forward` for many workers at once."""
