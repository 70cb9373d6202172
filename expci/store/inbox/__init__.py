"""Where trials arrive: one create-only ref per batch."""
