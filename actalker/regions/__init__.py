"""Where a signal may act: shapes from landmarks, masks that users draw, masks on a token grid."""
