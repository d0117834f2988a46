"""What every model's score starts from: the query, its history, item-item weights, popularity."""
