-- rollout: how far the version has come on its way to be the current one, as JSON; null for a version that is not, and was not last, on it.
ALTER TABLE host_plugin_versions ADD COLUMN rollout TEXT;
