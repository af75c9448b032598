"""Being written."""


def find_faces(*args, **kw):
    raise NotImplementedError
