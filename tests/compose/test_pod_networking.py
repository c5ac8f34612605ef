"""The tutorial's chapter on pod networking, typed at a compose cluster, word for word.

The module's floods and stolen ports are the local cluster's; ``test_listeners.py`` has those of compose.
"""

from tests.e2e import test_pod_networking as chapter

test_every_pod_has_an_address_that_all_nodes_reach = chapter.test_every_pod_has_an_address_that_all_nodes_reach
test_a_service_address_is_translated = chapter.test_a_service_address_is_translated_on_every_node_in_turn
test_a_service_without_endpoints_refuses_at_once = chapter.test_a_service_without_endpoints_refuses_at_once
