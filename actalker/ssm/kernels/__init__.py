"""What the CPU kernels of both operators share: vectors and matrices inside numba, threads, addresses.

`instructions`, `vector`, `memory` and `matrix` need numba at import;
`arguments`, `support` and `threads` do not.
"""
