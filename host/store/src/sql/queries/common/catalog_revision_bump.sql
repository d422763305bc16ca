-- catalog_revision_bump
UPDATE host_numbers SET value = value + 1 WHERE name = 'catalog_revision'
