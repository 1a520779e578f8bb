"""The web page: a picture in; classes, objects, depth and a point cloud out. `multisigma serve` runs it."""
