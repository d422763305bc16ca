-- catalog_lock
-- Changes of the catalogue come one after the other.
SELECT value FROM host_numbers WHERE name = 'catalog_revision' /*lock*/
