-- catalog_revision_get
SELECT value FROM host_numbers WHERE name = 'catalog_revision'
