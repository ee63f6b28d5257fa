"""What every training needs: samplers keyed by epoch, finite losses."""
