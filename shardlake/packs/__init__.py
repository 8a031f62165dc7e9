"""Ready sets of source schema, decoder, enrichments and views, one folder for each kind of data."""
