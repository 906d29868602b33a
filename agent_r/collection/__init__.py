"""Many trees at once: scheduled, stored, resumed, accounted for."""
