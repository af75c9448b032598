"""Speech of text-to-speech engines with phone times: what models learn lips from."""
