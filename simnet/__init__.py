"""simnet: a wind tunnel for decentralized training."""
