"""Who somebody is and what they did: events folded into fragments, links into people, and both read as profiles."""
