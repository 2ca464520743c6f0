"""The operations of the HTTP API, and the one table of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web

from router.admin.models.base import Document, Done
from router.admin.models.candidates import CandidateAnswer, Candidates, Registered
from router.admin.models.deliveries import (
    Deliveries,
    DeliveryAnswer,
    DeliveryChanged,
    Redirected,
    Resent,
)
from router.admin.models.instances import Quarantine, QuarantinedInstance, Refusals, RefusedInstance
from router.admin.models.requests import (
    DeliveryQuery,
    Dismissal,
    PageQuery,
    Redirection,
    RefusalQuery,
    Resending,
    StudyQuery,
)
from router.admin.models.studies import Studies, Study
from router.admin.openapi import describe
from router.admin.routes import MAX_BODY_BYTES, Api, Call, Nothing, Route
from router.domain.candidate import Candidate
from router.domain.instance import Disposition
from router.http.problems import RequestError, explaining
from router.registry.request import RegistrationRequest

MAX_DIGITS = 18
"""Of a number in the ledger, which has 64 bits."""


async def register_candidate(api: Api, call: Call[Nothing, RegistrationRequest]) -> Registered:
    """Register a writer, or register it again.

    The AE title is the key: the last registration counts. It is durable before it is answered,
    and takes effect at the next candidate determination. The routing YAML outranks it.
    """
    return _registered(api, await api.registry.register(call.body))


async def send_heartbeat(api: Api, call: Call[Nothing, Nothing]) -> Registered:
    """Renew a writer's lease.

    404 tells the writer to register again.
    """
    return _registered(api, await api.registry.heartbeat(_ae_title(call)))


async def list_candidates(api: Api, _call: Call[Nothing, Nothing]) -> Candidates:
    """List all candidates."""
    found = api.registry.candidates()
    return Candidates(candidates=[_candidate(api, candidate) for candidate in found])


async def show_candidate(api: Api, call: Call[Nothing, Nothing]) -> CandidateAnswer:
    """Show one candidate."""
    return _candidate(api, api.registry.candidate(_ae_title(call)))


async def drain_candidate(api: Api, call: Call[Nothing, Nothing]) -> CandidateAnswer:
    """Give a candidate nothing new.

    What it was given before is finished; it is live again when it registers again.
    """
    return _candidate(api, await api.registry.drain(_ae_title(call)))


async def remove_candidate(api: Api, call: Call[Nothing, Nothing]) -> Done:
    """Forget a writer that registered itself.

    Open deliveries go on; nothing new is determined for it.
    """
    await api.registry.remove(_ae_title(call))
    return Done()


async def list_studies(api: Api, call: Call[StudyQuery, Nothing]) -> Studies:
    """List studies, newest first."""
    query = call.query
    page = await api.views.studies(
        limit=query.limit, after=query.after, state=query.state, patient_id=query.patient_id
    )
    return Studies(studies=page.items, next=page.next)


async def show_study(api: Api, call: Call[Nothing, Nothing]) -> Study:
    """Show all about one study: its revisions, decisions with reasons, and deliveries."""
    return Study.of(await api.views.study(call.path["study_instance_uid"]))


async def list_deliveries(api: Api, call: Call[DeliveryQuery, Nothing]) -> Deliveries:
    """List deliveries, newest first."""
    query = call.query
    page = await api.views.deliveries(
        limit=query.limit, after=query.after, state=query.state, ae_title=query.candidate
    )
    return Deliveries(deliveries=page.items, next=page.next)


async def show_delivery(api: Api, call: Call[Nothing, Nothing]) -> DeliveryAnswer:
    """Show one delivery: every attempt, and the instances that its candidate does not hold."""
    detail = await api.views.delivery(_delivery_id(call))
    return DeliveryAnswer(
        delivery=detail.delivery, attempts=detail.attempts, undelivered=detail.undelivered
    )


async def retry_delivery(api: Api, call: Call[Nothing, Nothing]) -> DeliveryChanged:
    """Attempt a delivery again, now.

    A dead or retrying one; what its candidate refused is sent again, too. It is required from then
    on, so that its bytes stay.
    """
    return DeliveryChanged(delivery=await api.interventions.retry(_delivery_id(call)))


async def redirect_delivery(api: Api, call: Call[Nothing, Redirection]) -> Redirected:
    """Deliver to another candidate instead.

    All instances of the delivery go there; the old delivery is dismissed.
    """
    new, old = await api.interventions.redirect(_delivery_id(call), call.body.aet)
    return Redirected(delivery=new, dismissed=old)


async def dismiss_delivery(api: Api, call: Call[Nothing, Dismissal]) -> DeliveryChanged:
    """Say that a delivery is not needed.

    Its study settles without it. 409 while an attempt is under way.
    """
    reason = call.body.reason
    return DeliveryChanged(delivery=await api.interventions.dismiss(_delivery_id(call), reason))


async def resend_study(api: Api, call: Call[Nothing, Resending]) -> Resent:
    """Send a study again, or to a candidate that came later.

    Everything that the spool still holds of it; 409 if that is nothing.
    """
    uid = call.path["study_instance_uid"]
    return Resent(deliveries=await api.interventions.resend(uid, call.body.aet))


async def complete_study(api: Api, call: Call[Nothing, Nothing]) -> Done:
    """Say that all of a study has arrived, whatever its completion policy waits for.

    What is being received still belongs to it. 409 if nothing of it is open.
    """
    await api.declarations.complete(call.path["study_instance_uid"])
    return Done()


async def list_refusals(api: Api, call: Call[RefusalQuery, Nothing]) -> Refusals:
    """List instances that were discarded or refused, newest first."""
    query = call.query
    disposition = None if query.disposition is None else Disposition(query.disposition)
    page = await api.views.refusals(limit=query.limit, after=query.after, disposition=disposition)
    return Refusals(refusals=[RefusedInstance.of(entry) for entry in page.items], next=page.next)


async def list_quarantine(api: Api, call: Call[PageQuery, Nothing]) -> Quarantine:
    """List instances in quarantine, newest first."""
    page = await api.views.quarantine(limit=call.query.limit, after=call.query.after)
    return Quarantine(
        quarantine=[QuarantinedInstance.of(entry) for entry in page.items], next=page.next
    )


async def check_health(_api: Api, _call: Call[Nothing, Nothing]) -> Done:
    """Say that the event loop is alive."""
    return Done()


async def check_readiness(api: Api, _call: Call[Nothing, Nothing]) -> Done:
    """Say whether instances can be taken in.

    503 with the reasons while the router starts, stops, or cannot store anything.
    """
    reasons = api.readiness()
    if reasons:
        raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "not ready: " + "; ".join(reasons))
    return Done()


async def describe_api(_api: Api, _call: Call[Nothing, Nothing]) -> Document:
    """Describe this API as an OpenAPI 3.1 document."""
    return Document(describe(ROUTES))


_NOT_FOUND = HTTPStatus.NOT_FOUND
_GUARDED = (HTTPStatus.UNAUTHORIZED,)
_CHANGES = (*_GUARDED, _NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE)
_REGISTERS = (
    HTTPStatus.BAD_REQUEST,
    *_GUARDED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_DECISIONS = (
    HTTPStatus.BAD_REQUEST,
    *_CHANGES,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_LISTS = (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
_SHOWS = (_NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)

ROUTES: tuple[Route[Any, Any, Any], ...] = (
    Route("POST", "/candidates", Nothing, RegistrationRequest, Registered, register_candidate,
          _REGISTERS, guarded=True),
    Route("GET", "/candidates", Nothing, Nothing, Candidates, list_candidates),
    Route("GET", "/candidates/{aet}", Nothing, Nothing, CandidateAnswer, show_candidate,
          (_NOT_FOUND,)),
    Route("POST", "/candidates/{aet}/heartbeat", Nothing, Nothing, Registered, send_heartbeat,
          _CHANGES, guarded=True),
    Route("POST", "/candidates/{aet}/drain", Nothing, Nothing, CandidateAnswer, drain_candidate,
          _CHANGES, guarded=True),
    Route("DELETE", "/candidates/{aet}", Nothing, Nothing, Done, remove_candidate,
          _CHANGES, guarded=True),
    Route("GET", "/studies", StudyQuery, Nothing, Studies, list_studies, _LISTS),
    Route("GET", "/studies/{study_instance_uid}", Nothing, Nothing, Study, show_study, _SHOWS),
    Route("POST", "/studies/{study_instance_uid}/resend", Nothing, Resending, Resent, resend_study,
          _DECISIONS, guarded=True),
    Route("POST", "/studies/{study_instance_uid}/complete", Nothing, Nothing, Done, complete_study,
          _CHANGES, guarded=True),
    Route("GET", "/deliveries", DeliveryQuery, Nothing, Deliveries, list_deliveries, _LISTS),
    Route("GET", "/deliveries/{id}", Nothing, Nothing, DeliveryAnswer, show_delivery, _SHOWS),
    Route("POST", "/deliveries/{id}/retry", Nothing, Nothing, DeliveryChanged, retry_delivery,
          _CHANGES, guarded=True),
    Route("POST", "/deliveries/{id}/redirect", Nothing, Redirection, Redirected, redirect_delivery,
          _DECISIONS, guarded=True),
    Route("POST", "/deliveries/{id}/dismiss", Nothing, Dismissal, DeliveryChanged, dismiss_delivery,
          _DECISIONS, guarded=True),
    Route("GET", "/refusals", RefusalQuery, Nothing, Refusals, list_refusals, _LISTS),
    Route("GET", "/quarantine", PageQuery, Nothing, Quarantine, list_quarantine, _LISTS),
    Route("GET", "/healthz", Nothing, Nothing, Done, check_health),
    Route("GET", "/readyz", Nothing, Nothing, Done, check_readiness,
          (HTTPStatus.SERVICE_UNAVAILABLE,)),
    Route("GET", "/openapi.json", Nothing, Nothing, Document, describe_api),
)  # fmt: skip
"""Everything that the API serves, and all that its description lists."""


def create_app(api: Api) -> web.Application:
    """The HTTP API as an application for :func:`router.http.server.serve_http`."""
    problems = explaining("/openapi.json lists what there is")
    application = web.Application(middlewares=[problems], client_max_size=MAX_BODY_BYTES)
    for route in ROUTES:
        route.mount(application, api)
    return application


def _delivery_id(call: Call[Any, Any]) -> int:
    number: str = call.path["id"]
    if not (number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS):
        raise RequestError(HTTPStatus.NOT_FOUND, f"the ledger holds no delivery {number}")
    return int(number)


def _ae_title(call: Call[Nothing, Nothing]) -> str:
    return call.path["aet"].strip(" ")


def _candidate(api: Api, candidate: Candidate) -> CandidateAnswer:
    return CandidateAnswer.of(candidate, api.registry.entry(candidate.ae_title))


def _registered(api: Api, candidate: Candidate) -> Registered:
    return Registered(
        candidate=_candidate(api, candidate),
        lease_s=api.registry.lease.total_seconds(),
        heartbeat_s=api.registry.heartbeat_interval.total_seconds(),
    )
