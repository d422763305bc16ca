// A worker of graphile-worker with the preset that its documentation gives for speed, and a task that does nothing; until it is ended.
import { once } from "node:events";
import { run, runMigrations } from "graphile-worker";

const [what, connectionString] = process.argv.slice(2);
if (what === "migrate") {
  await runMigrations({ connectionString });
} else {
  const preset = {
    worker: {
      connectionString,
      concurrentJobs: 24,
      maxPoolSize: 25,
      pollInterval: 2000,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  };
  console.log("ready");
  // Told to begin by whoever measures.
  await once(process.stdin, "data");
  const runner = await run({ preset, taskList: { noop: async () => {} } });
  await runner.promise;
}
