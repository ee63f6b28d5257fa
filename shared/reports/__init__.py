"""What a run shows: pages, pictures, tables of cases, samples and studies."""
