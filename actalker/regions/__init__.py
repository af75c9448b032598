"""Where a signal may act: shapes from landmarks, masks, masks on a token grid."""
