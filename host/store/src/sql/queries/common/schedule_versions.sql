-- schedule_versions
SELECT settings FROM host_schedules WHERE settings LIKE '%"version"%'
