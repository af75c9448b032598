"""The output of a clip: files, sidecar and preview, frames between generated ones, and scores."""
