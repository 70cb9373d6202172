"""A small GitHub on real bare repositories: git over HTTP, the REST paths in use, GraphQL.

    server = GitHubServer().start()
    hub = server.serve("ada/work", path_of_a_bare_repository)
    token = hub.token("github-actions[bot]", {"contents": "write", "pull_requests": "write"})
    hub.faults.add(Fault.lost_answer("POST", "comments"))

What is true here as on GitHub: merges, conflicts, branch deletions, pushes and their
consequences for pull requests; permissions; pages; rate limits. `hub.log` holds every
exchange, `hub.violations` what GitHub's own OpenAPI document says against one.
"""

from support.github_server.faults import Fault
from support.github_server.serving import GitHubServer
from support.github_server.world import Hub, Token

__all__ = ["Fault", "GitHubServer", "Hub", "Token"]
