"""Makes the head model's file from ICT-FaceKit's published folder."""
