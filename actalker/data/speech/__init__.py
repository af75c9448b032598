"""Speech of text-to-speech engines with the times of its phones, from which models learn the lips."""
