"""The demos on an open system: playing them, recording them, watching them, making them one's own."""
