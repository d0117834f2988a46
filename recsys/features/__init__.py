"""The inputs of every score: queries, histories, item-item similarities, and the features made from them."""
