"""What comes out: files, their sidecar and preview, frames between, and what is watched of a clip."""
