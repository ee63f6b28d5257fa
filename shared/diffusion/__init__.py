"""Diffusion: noise levels, denoisers of one contract, and the samplers that call them."""
