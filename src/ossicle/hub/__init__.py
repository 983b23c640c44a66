"""Files on disk to models and back: safetensors and JSON only, strict, whole or not at all."""
