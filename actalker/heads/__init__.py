"""A head in three dimensions: fitted to a portrait, moved, and drawn back into it.

Words of this package:
place: a position in a picture, x and y in pixels, with the centres of pixels at .5.
share: a fraction in [0, 1], such as a weight, an opacity or a coverage.
rest: the state in which nothing moves: the portrait's own expression, or the one a motion is relative to.
layer: the pixels that the mesh of face, eyes and mouth covers in a frame (`layer.FaceLayer`).
sheet: a grid over hair, ears, neck and shoulders, whose nodes follow the head (`sheet.Sheet`).
ground: what is behind the person; plate: the photograph with the person removed and the ground filled in.
zip: two rims of skin, of the lips or of an eye's lids, whose gap can be set exactly (`zips.Zip`).
"""
